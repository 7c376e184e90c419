"""Failure codes and their names in Chinese and English, after public descriptions of ISO 14224."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple


class Name(NamedTuple):
    zh: str
    en: str


Codes = Mapping[str, Name]

# What is observed (failure mode; the alarm's and the order's symptom).
FAILURE_MODES: Codes = {
    "AIR": Name("仪表读数异常", "abnormal instrument reading"),
    "BRD": Name("损坏停机", "breakdown"),
    "COM": Name("通讯中断", "communication lost"),  # ours: of a device on its wire
    "ELF": Name("燃料外漏", "external leakage, fuel"),
    "ELP": Name("工艺介质外漏", "external leakage, process medium"),
    "ELU": Name("公用介质外漏", "external leakage, utility medium"),
    "ERO": Name("输出不稳", "erratic output"),
    "FTS": Name("无法启动", "failure to start on demand"),
    "HIO": Name("输出过高", "high output"),
    "INL": Name("内漏", "internal leakage"),
    "LOO": Name("输出过低", "low output"),
    "NOI": Name("噪声", "noise"),
    "OHE": Name("过热", "overheating"),
    "OTH": Name("其他", "other"),
    "PDE": Name("参数偏离", "parameter deviation"),
    "PLU": Name("堵塞", "plugged or choked"),
    "SER": Name("使用中的小问题", "minor in-service problem"),
    "STD": Name("结构缺陷", "structural deficiency"),
    "STP": Name("无法停机", "failure to stop on demand"),
    "UNK": Name("未知", "unknown"),
    "UST": Name("误停机", "spurious stop"),
    "VIB": Name("振动", "vibration"),
    "FLOOD": Name("告警泛滥", "alarm flood"),
}

# How it failed.
MECHANISMS: Codes = {
    "mechanical": Name("机械故障", "mechanical failure, general"),
    "leakage": Name("泄漏", "leakage"),
    "vibration": Name("异常振动", "vibration"),
    "misalignment": Name("对中或间隙不良", "clearance or alignment failure"),
    "imbalance": Name("不平衡", "imbalance"),
    "deformation": Name("变形", "deformation"),
    "looseness": Name("松动", "looseness"),
    "sticking": Name("卡涩", "sticking"),
    "cavitation": Name("汽蚀", "cavitation"),
    "corrosion": Name("腐蚀", "corrosion"),
    "erosion": Name("冲蚀", "erosion"),
    "wear": Name("磨损", "wear"),
    "fatigue": Name("疲劳", "fatigue"),
    "breakage": Name("断裂", "breakage"),
    "overheating": Name("过热", "overheating"),
    "lubrication": Name("润滑不良", "lubrication failure"),
    "contamination": Name("污染", "contamination"),
    "blockage": Name("堵塞", "blockage or plugging"),
    "electrical": Name("电气故障", "electrical failure, general"),
    "insulation": Name("绝缘或接地故障", "insulation or earth fault"),
    "no_power": Name("失电或电压异常", "no power or faulty voltage"),
    "instrument": Name("仪表故障", "instrument failure, general"),
    "calibration": Name("失准", "out of adjustment"),
    "software": Name("软件故障", "software failure"),
    "no_signal": Name("无信号或误报", "no signal, indication or alarm"),
    "external": Name("外部影响", "external influence"),
    "none_found": Name("未查明", "no cause found"),
    "planned": Name("计划性工作", "planned work, nothing failed"),
    "other": Name("其他", "other"),
}

# Why it could come to that.
CAUSES: Codes = {
    "design": Name("设计", "design"),
    "material": Name("材料", "material"),
    "fabrication": Name("制造", "fabrication"),
    "installation": Name("安装", "installation"),
    "operation": Name("操作", "operating error or conditions"),
    "maintenance": Name("维护", "maintenance"),
    "ageing": Name("老化与正常磨损", "expected wear and tear"),
    "management": Name("管理", "management"),
    "process": Name("工艺条件", "process conditions"),
    "unknown": Name("未知", "unknown"),
    "other": Name("其他", "other"),
}

# What was done (maintenance activity).
REMEDIES: Codes = {
    "replace": Name("更换", "replace"),
    "repair": Name("修理", "repair"),
    "modify": Name("改造", "modify"),
    "adjust": Name("调整对中", "adjust or align"),
    "refit": Name("整修", "refit"),
    "check": Name("检查", "check"),
    "service": Name("保养清洁润滑", "service, clean or lubricate"),
    "test": Name("测试", "test"),
    "inspect": Name("点检", "inspect"),
    "overhaul": Name("大修", "overhaul"),
    "combination": Name("多项组合", "combination"),
    "reset": Name("复位重启", "reset or restart"),
    "none": Name("未处理", "nothing done"),
    "other": Name("其他", "other"),
}

# How it was noticed.
DETECTIONS: Codes = {
    "condition_monitoring": Name("状态监测", "continuous condition monitoring"),
    "periodic_maintenance": Name("定期维护", "periodic maintenance"),
    "functional_test": Name("功能测试", "functional testing"),
    "inspection": Name("巡检", "inspection"),
    "casual_observation": Name("偶然发现", "casual observation"),
    "on_demand": Name("启用时发现", "on demand"),
    "production_interference": Name("影响生产", "production interference"),
    "corrective_maintenance": Name("检修中发现", "corrective maintenance"),
    "other": Name("其他", "other"),
}

"""Golden traces of the seven questions, and what timers make of an order afterwards."""

from __future__ import annotations

import pytest

from tests.ticketing.trace import play
from ticketing import Desk

TRACES = {
    # 1. recorded only
    "a shadow rule records and opens nothing": """
        0s   raise a pump-1 VIB 4 mode=shadow                | shadow
        1s   raise b pump-1 VIB 4 suppression=shelved        | suppressed
        2s   raise c pump-1 VIB 4 suppression=out_of_service | suppressed
        3s   raise d pump-1 VIB 4                            | opened 1
        3s   order 1                                         | new P1 x1
    """,
    # 2. an open order with the key
    "two rules seeing one bearing give one order": """
        0s   raise a pump-1 VIB 2 rule_id=warn min_active=0s | opened 1
        0s   order 1                                         | new P3 x1
        9s   raise b pump-1 VIB 4 rule_id=high               | attached 1
        9s   order 1                                         | new P1 x2
        20s  raise c pump-1 VIB 2 rule_id=warn               | attached 1
        20s  order 1                                         | new P1 x3
    """,
    "the same episode again is known": """
        0s   raise a pump-1 VIB 4                            | opened 1
        0s   raise a pump-1 VIB 4                            | known 1
        0s   order 1                                         | new P1 x1
    """,
    "a fault that comes back while resolved reopens its order": """
        0s   raise a pump-1 VIB 4                            | opened 1
        1h   clear a                                         |
        2h   repair 1                                        | resolved
        3h   raise b pump-1 VIB 2                            | recurred 1
        3h   order 1                                         | assigned P1 x2 r1
        3h   move 1 start tech                               | in_progress
    """,
    "a rule may key by asset or by itself": """
        0s   raise a pump-1 VIB 4 key=asset                  | opened 1
        15m  raise b pump-1 OHE 4 key=asset                  | attached 1
        15m  raise c pump-1 VIB 4 key=rule_asset rule_id=r1  | opened 2
        30m  raise d pump-1 VIB 4 key=rule_asset rule_id=r2  | opened 3
        30m  raise e pump-1 OHE 4 key=rule_asset rule_id=r2  | attached 3
    """,
    # 3. muted
    "a false alarm is silent until severity or rule version changes": """
        0s   raise a pump-1 VIB 3 min_active=0s              | opened 1
        1m   clear a                                         |
        2m   move 1 cancel lead cancel_reason=false_alarm    | cancelled
        1h   raise b pump-1 VIB 3 min_active=0s              | muted
        2h   raise c pump-1 VIB 2 min_active=0s              | muted
        3h   raise d pump-1 VIB 3 min_active=0s rule_id=else | opened 2
        4h   move 2 cancel lead cancel_reason=not_needed     | cancelled
        5h   raise e pump-1 VIB 3 min_active=0s rule_hash=h2 | opened 3
        6h   move 3 cancel lead cancel_reason=not_needed     | cancelled
        7h   severity b 4                                    | opened 4
    """,
    "a mute ends by itself after 7 days, or as many as were asked": """
        0s   raise a pump-1 VIB 4                            | opened 1
        0s   raise b fan-1 VIB 4                             | opened 2
        1m   move 1 cancel lead cancel_reason=false_alarm    | cancelled
        1m   move 2 cancel lead cancel_reason=false_alarm mute_days=30 | cancelled
        7d   raise c pump-1 VIB 4                            | muted
        7d1m raise d pump-1 VIB 4                            | opened 3
        8d   raise e fan-1 VIB 4                             | muted
    """,
    "a repair that found a false alarm mutes too, once signed": """
        0s   raise a pump-1 VIB 4                            | opened 1
        1m   clear a                                         |
        2m   repair 1 outcome=false_alarm symptom=AIR        | resolved
        1d3m tick                                            | verified 1
        2d   move 1 sign_off lead stars=5                    | closed
        3d   raise b pump-1 VIB 4                            | muted
    """,
    # 4. not yet
    "a minor alarm must stay active for ten minutes": """
        0s    raise a pump-1 VIB 2                           | waiting
        9m59s tick                                           |
        10m   tick                                           | opened 1
        11m   order 1                                        | new P3 x1
    """,
    "an alarm that went away while waiting opens nothing": """
        0s    raise a pump-1 VIB 2                           | waiting
        9m    clear a                                        |
        1h    tick                                           |
    """,
    "it opens at its due time even if nobody asked then": """
        0s    raise a pump-1 VIB 2                           | waiting
        5h    clear a                                        | opened 1
    """,
    "a severity that opens nothing may rise to one that does": """
        0s    raise a pump-1 VIB 1                           | waiting
        2h    severity a 2                                   | waiting
        2h9m  severity a 3                                   | waiting
        3h    tick                                           | opened 1
        3h    order 1                                        | new P2 x1
    """,
    "the first severity's time still counts after a rise": """
        0s    raise a pump-1 VIB 2                           | waiting
        9m50s severity a 3                                   | waiting
        10m   tick                                           | opened 1
    """,
    "danger does not wait": """
        0s    raise a pump-1 VIB 2                           | waiting
        1m    severity a 4                                   | opened 1
        2m    severity a 4                                   | known 1
    """,
    "a rule may ask for several occurrences": """
        0s    raise a pump-1 VIB 4 occurrences=3 window=1h   | waiting
        50m   raise b pump-1 VIB 4 occurrences=3 window=1h   | waiting
        70m   raise c pump-1 VIB 4 occurrences=3 window=1h   | waiting
        80m   raise d pump-1 VIB 4 occurrences=3 window=1h   | opened 1
    """,
    # 5. correlated
    "another failure mode on the same asset joins a young order": """
        0s    raise a pump-1 VIB 3 min_active=0s             | opened 1
        0s    order 1                                        | new P2 x1
        10m   raise b pump-1 OHE 4                           | correlated 1
        10m   order 1                                        | new P1 x2
        10m1s raise c pump-1 NOI 4                           | opened 2
    """,
    "a parent's or a sibling's young order is joined, a stranger's is not": """
        0s    raise a pump-2 VIB 4                           | opened 1
        1m    raise b pump-1 LOO 4                           | correlated 1
        2m    raise c fan-1 LOO 4                            | opened 2
        20m   raise d line-1 PDE 4                           | opened 3
        21m   raise e pump-2 OHE 4                           | correlated 3
    """,
    "a person's report is joined by its key only": """
        0s    report pump-1 VIB                              | new 1
        1m    raise a pump-1 OHE 4                           | opened 2
        2m    raise b pump-1 VIB 4                           | attached 1
    """,
    # 6. flood
    "the eleventh new fault within ten minutes goes to the flood order, until fewer come": """
        0s    flood 9                                        | 9 opened
        1m    flood 3                                        | 2 flood, 1 opened
        1m    order 11                                       | new P1 x2
        9m    flood 5                                        | 5 flood
        11m   flood 1                                        | 1 flood
        18m   flood 1                                        | 1 flood
        20m   flood 1                                        | 1 opened
        20m   order 11                                       | new P1 x9
    """,
    "a resolved flood order comes back with the next flood": """
        0s    flood 11                                       | 1 flood, 10 opened
        1m    repair 11                                      | resolved
        2m    flood 1                                        | 1 recurred
    """,
    # 7. opened
    "the next order is linked to the last closed one": """
        0s    raise a pump-1 VIB 4                           | opened 1
        1h    close 1                                        | closed
        40d   raise b pump-1 VIB 4                           | opened 2
        40d   links 2                                        | recurrence_of 1
    """,
    "the third repeat in ninety days is chronic and asks for the root cause": """
        0s    raise a pump-1 VIB 2 min_active=0s             | opened 1
        1h    close 1                                        | closed
        10d   raise b pump-1 VIB 2 min_active=0s             | opened 2
        10d   order 2                                        | new P3 x1
        11d   close 2                                        | closed
        20d   raise c pump-1 VIB 2 min_active=0s             | opened 3
        20d   order 3                                        | new P2 x1
        21d   close 3                                        | closed
        30d   raise d pump-1 VIB 2 min_active=0s             | opened 4
        30d   order 4                                        | new P2 x1 chronic
        30d   tasks 4                                        | 1
    """,
    "old repeats do not count": """
        0s    raise a pump-1 VIB 2 min_active=0s             | opened 1
        1h    close 1                                        | closed
        1d    raise b pump-1 VIB 2 min_active=0s             | opened 2
        2d    close 2                                        | closed
        95d   raise c pump-1 VIB 2 min_active=0s             | opened 3
        95d   order 3                                        | new P3 x1
        95d   links 3                                        | recurrence_of 2
    """,
    "a model alone asks for an inspection": """
        0s    raise a pump-2 VIB 4 from_model=1              | opened 1
        0s    order 1                                        | new P3 x1
        1m    raise b pump-2 VIB 4                           | attached 1
        1m    order 1                                        | new P1 x2
    """,
    # afterwards
    "severity up: the due times come nearer and acceptance is asked again": """
        0s    raise a pump-1 VIB 2 min_active=0s             | opened 1
        1m    move 1 assign lead assignee=li                 | assigned
        1m    move 1 accept tech                             | assigned
        2m    accepted 1                                     | yes
        3m    severity a 4                                   | attached 1
        3m    order 1                                        | assigned P1 x1
        3m    accepted 1                                     | no
        3m    due 1                                          | ack 18m resolve 4h3m
    """,
    "an untouched minor order clears itself after half an hour of normal": """
        0s    raise a pump-1 VIB 2 min_active=0s self_clear=1 | opened 1
        5m    clear a                                        |
        34m   tick                                           |
        35m   tick                                           | self_cleared 1
        36m   order 1                                        | cancelled P3 x1
    """,
    "not if somebody touched it, it came back, or it was serious": """
        0s    raise a pump-1 VIB 2 min_active=0s self_clear=1 | opened 1
        0s    raise b fan-1 VIB 2 min_active=0s self_clear=1 | opened 2
        0s    raise c pump-2 VIB 3 min_active=0s self_clear=1 | correlated 1
        1m    move 2 comment lead comment=looking            | new
        5m    clear a                                        |
        5m    clear b                                        |
        5m    clear c                                        |
        5h    tick                                           |
    """,
    "normal again but not long enough": """
        0s    raise a pump-1 VIB 2 min_active=0s self_clear=1 | opened 1
        5m    clear a                                        |
        30m   raise b pump-1 VIB 2                           | attached 1
        36m   tick                                           |
        40m   clear b                                        |
        70m   tick                                           | self_cleared 1
    """,
    "a repair is verified after a day of running, and a minor order closes after a week": """
        0s    raise a pump-1 VIB 2 min_active=0s             | opened 1
        1h    clear a                                        |
        2h    repair 1                                       | resolved
        1d1h  tick                                           |
        1d2h  tick                                           | verified 1
        1d2h  order 1                                        | resolved P3 x1 verified
        7d1h  tick                                           |
        7d2h  tick                                           | auto_closed 1
        8d    order 1                                        | closed P3 x1 verified
    """,
    "an urgent order never closes by itself": """
        0s    raise a pump-1 VIB 4                           | opened 1
        1h    clear a                                        |
        2h    repair 1                                       | resolved
        60d   tick                                           | verified 1
        60d   order 1                                        | resolved P1 x1 verified
    """,
    "only running hours verify": """
        0s    raise a pump-1 VIB 2 min_active=0s verify=2h   | opened 1
        1h    clear a                                        |
        2h    runs pump-1 off                                |
        3h    repair 1                                       | resolved
        9h    runs pump-1 on                                 |
        10h   runs pump-1 off                                |
        20h   runs pump-1 on                                 |
        20h59m tick                                          |
        21h   tick                                           | verified 1
    """,
    "an alarm that never cleared after the repair brings the order back": """
        0s    raise a pump-1 VIB 4                           | opened 1
        1h    repair 1                                       | resolved
        89m   tick                                           |
        90m   tick                                           | recurred 1
        91m   order 1                                        | assigned P1 x1 r1
    """,
    "an alarm that clears soon after the repair starts the window": """
        0s    raise a pump-1 VIB 4 verify=1h                 | opened 1
        1h    repair 1                                       | resolved
        80m   clear a                                        |
        139m  tick                                           |
        140m  tick                                           | verified 1
    """,
    "what fell silent during the work is judged when it ends": """
        0s    raise a pump-1 VIB 4                           | opened 1
        1m    clear a                                        |
        2m    move 1 assign lead assignee=li                 | assigned
        3m    move 1 start tech                              | in_progress
        20m   raise b pump-1 OHE 4 suppression=by_design     | suppressed
        21m   raise c pump-1 VIB 4 suppression=by_design     | suppressed
        22m   raise d pump-1 NOI 4 suppression=shelved       | suppressed
        30m   move 1 resolve tech symptom=VIB mechanism=wear remedy=replace | resolved
        30m   tick                                           | opened 2
        30m   order 1                                        | resolved P1 x2
        40m   clear c                                        |
        1d39m tick                                           |
        1d40m tick                                           | verified 1
    """,
    "a fault that only fell silent during its own repair comes back": """
        0s    raise a pump-1 VIB 4                           | opened 1
        1m    clear a                                        |
        2m    move 1 assign lead assignee=li                 | assigned
        3m    move 1 start tech                              | in_progress
        20m   raise b pump-1 VIB 4 suppression=by_design     | suppressed
        30m   move 1 resolve tech symptom=VIB mechanism=wear remedy=replace | resolved
        59m   tick                                           |
        60m   tick                                           | recurred 1
    """,
    "a person's report of a fault that was there before is linked too": """
        0s    raise a pump-1 VIB 4                           | opened 1
        1h    close 1                                        | closed
        9d    report pump-1 VIB                              | new 2
        9d    links 2                                        | recurrence_of 1
    """,
    "signing before the signal is verified needs a reason": """
        0s    raise a pump-1 VIB 4                           | opened 1
        1h    clear a                                        |
        2h    repair 1                                       | resolved
        3h    move 1 sign_off lead stars=4                   | refused: guard
        3h    move 1 sign_off lead stars=4 override_reason=shutdown | closed
    """,
    "poor work is inspected again by somebody else": """
        0s    raise a pump-1 VIB 4                           | opened 1
        1h    clear a                                        |
        2h    repair 1                                       | resolved
        3d    tick                                           | verified 1
        3d    move 1 sign_off lead stars=2                   | closed
        3d    links 2                                        | reinspects 1
        3d    move 2 assign lead assignee=li                 | refused: guard
        3d    move 2 assign lead assignee=zhao               | assigned
    """,
}


@pytest.mark.parametrize("name", TRACES)
def test_trace(desk: Desk, name: str) -> None:
    play(desk, TRACES[name])

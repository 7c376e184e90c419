"""What was learnt: articles in two languages, found by words and by what they are about, offered with reasons."""

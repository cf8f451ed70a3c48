"""Step time and memory of every method against PEFT, in turns."""

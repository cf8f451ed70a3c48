"""Reading what somebody else may have written, and writing what is whole or not there."""

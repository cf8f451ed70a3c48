"""Task files of the published commonsense protocol: greedy and beam4."""

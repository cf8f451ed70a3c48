"""Task files of the published commonsense protocol (commonsense_protocol.md, section 2): greedy and beam4."""

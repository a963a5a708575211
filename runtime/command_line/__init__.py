"""What every command line shares: commands imported when they are used, words near a wrong one, stops."""

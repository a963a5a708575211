"""A federation over the link in processes of this machine, whose ends can be bent: for drills and tests."""

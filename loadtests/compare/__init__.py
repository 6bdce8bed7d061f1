"""What a request costs, side by side: gwd and its peers do the same work in one run, in turns."""

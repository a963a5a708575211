"""The first deployment on real AWS as a script: two sandbox accounts, a run, ten forbidden calls."""

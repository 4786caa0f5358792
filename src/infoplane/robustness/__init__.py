"""Robustness of one network: suites of attacks, intervals, accuracy against epsilon, and alarms."""

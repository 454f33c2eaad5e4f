"""Mutation testing: one fault at a time is planted in a copy of the package, and the tests of its
package must notice.

    make mutants
    make mutants ARGS="--packages nn gan --sample 30 --seed 1"

faults.py says what a fault is; packages.py which tests guard which files; __main__.py draws the
sample, runs it and prints what got past.
"""

"""Many runs: from a table file to jobs, from jobs to processes here or on SLURM. Nothing in here imports torch.

tables.py      a file of configs/table/ -> rows
blocks.py      which rows are wanted by now: the table's own, or those that a block (grid.py, search.py) asks for
jobs.py        a row and a seed -> the command and the folder of one job
state.py       a job's folder -> to do, running, done or failed
worker.py      one running process of main.py
local.py slurm.py display.py      where jobs run, and what is shown
"""

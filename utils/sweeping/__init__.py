"""Many runs: a table file becomes rows, rows become jobs, jobs become processes here or on SLURM. Imports no torch.

table_file.py                     a file of configs/table/ -> rows
blocks.py                         the rows of a block (grid.py, search.py, cross_validation.py) so far
jobs.py                           a row and a seed -> the command and the folder of one job
job_state.py                      a job's folder -> to do, running, done or failed
worker.py                         the process of one job
rank_layout.py                    the ranks of one job, where several train one model
local.py slurm.py display.py      where jobs run, and what is shown
"""

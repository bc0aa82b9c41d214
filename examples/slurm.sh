#!/bin/bash
# Run a study on a SLURM cluster, from the folder that the results should be in:
#
#     sbatch slurm.sh my_study.py
#
# The jobs of the array share one folder of results. Each takes runs that no other has claimed, so they may start at any time, and
# a job that reaches its time limit loses nothing: submit the same command again. The folder has to be on a file system with locks
# that all nodes see (NFS 4, or Lustre mounted with "flock"). For GPUs add `#SBATCH --gpus=1` and call `gst run ... --device cuda`.
#
#SBATCH --job-name=gst
#SBATCH --array=1-8
#SBATCH --ntasks=1
#SBATCH --cpus-per-task=16
#SBATCH --time=04:00:00
#SBATCH --signal=B:TERM@60

export OMP_NUM_THREADS=1
exec gst run "$@" --jobs "${SLURM_CPUS_PER_TASK:-1}" --out results

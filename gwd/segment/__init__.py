"""The memory that all processes of one gateway share.

layout     what lies where, as data
memory     the sealed memfd and its mapping
processes  who lives: one column per process
rows       the limiter's table: who has a bucket
limiter    token buckets over all workers
open_connections  per address
endpoints  how every endpoint fares
metrics    counts and durations per route
board      what the supervisor has to tell

Every cell is one aligned 8-byte word, so no reader sees half a value, and has one writer; the two
exceptions (who may start a bucket, who may take a row) are explained in limiter and rows. What is
summed lies in columns, one per process; readers add them up. Nothing is left to repair when a
process is killed, at whatever instant.
"""

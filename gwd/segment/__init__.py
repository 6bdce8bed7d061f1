"""The memory that all processes of one gateway share.

layout     what lies where, as data
memory     the sealed memfd and its mapping
processes  who lives: one column per process
limiter    token buckets over all workers
endpoints  how every endpoint fares
open_connections  per address
metrics    counts and durations per route
board      what the supervisor has to tell

Every cell is one aligned 8-byte word with one writer, so no reader sees half a value and nothing
is left to repair when a process is killed, at whatever instant. What is summed lies in columns, one
per process; readers add them up.
"""

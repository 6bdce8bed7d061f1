"""Slow and hostile peers against one worker, and what a neighbour notices of them."""

"""Kernels and tables that follow connections packet by packet."""

Rows of conn.log are written by kernels.

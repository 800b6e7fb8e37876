Ordinary HTTP is read by kernels, and rows of conn.log and http.log are written by kernels; the analysers get what is out of the ordinary.

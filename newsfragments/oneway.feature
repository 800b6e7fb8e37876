Routes of the embedded switch may be one-way (`openmb route --one-way`), so that chains of in-line middleboxes can stand between two hosts that both send.

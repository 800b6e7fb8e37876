Packets that repeat what went before can be encoded as references to it and decoded again (the codec of the coming kind `smartre`): kernels, and the same in plain Python to check them.

`openmb clone`, `openmb finish-clone` and `openmb merge`: state that flows share is copied and followed, or folded into another middlebox's, once however often anything is retried.

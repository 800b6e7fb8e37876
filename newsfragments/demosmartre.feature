`openmb demo smartre`, and the application behind it (`openmb/apps/migration.py`): half of the receivers of a redundancy-eliminating path move to another decoder and back while they receive.

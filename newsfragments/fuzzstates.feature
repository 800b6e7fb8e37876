`openmb fuzz` also tries messages against whole middleboxes and a controller in every state, command lines of the services,
files of certificates and keys, and the local sockets; it makes what it finds small, and `--input FILE` tries that again.

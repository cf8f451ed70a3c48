"""What runs inside a sandbox container: the standard library only, and this folder is the image's whole build context."""

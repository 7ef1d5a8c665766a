"""satpipe: does training on GAN-generated chips help a classifier, by how much, and how sure are we?"""

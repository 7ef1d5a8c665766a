"""Networks and how they are trained: generator, discriminator, classifier, device."""

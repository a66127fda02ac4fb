"""What a file costs on its way into a topic: ``twolane load`` beside other ways, whole programs from start to end."""

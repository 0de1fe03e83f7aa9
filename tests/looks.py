"""What every drawing must have: data, axes with units, and two sentences on how to read it."""


def complete(drawing):
    """Draw it both ways and look at its words."""
    assert drawing.figure().data, drawing.title
    axes = drawing.plot()
    assert axes.get_title()
    assert axes.get_xlabel().rstrip().endswith(")"), (drawing.title, axes.get_xlabel())
    for sentence in (drawing.caption, drawing.interpretation):
        assert sentence.endswith("."), (drawing.title, sentence)
        assert len(sentence) > 20, (drawing.title, sentence)
    return axes

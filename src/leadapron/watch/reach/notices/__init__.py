"""Messages in a case: written from templates, approved by a person, sent exactly once, answers read.

``model`` says what a notice is, ``store`` keeps them, ``words`` holds the templates, ``sending`` and ``incoming`` are
the two directions of the post.
"""

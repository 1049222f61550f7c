"""Incoming mail: bounces, opt-outs and answers. ``boxes`` reads files, ``facts`` understands one message, ``reading``
tells the cases. Of a mail's text nothing is kept: it may hold anything, a patient's data among it."""

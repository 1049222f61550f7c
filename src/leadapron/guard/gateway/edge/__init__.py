"""The edge: a relay beside a device that speaks DICOM without TLS, and speaks for it with a certificate.

    device --plain, local--> door -> conversation --live--> line --mutual TLS--> guard or archive
                                          \\--> queue --> sender --/

``settings`` what is configured; ``door`` who may come in; ``conversation`` one association of the device; ``contexts``
what is agreed with it; ``queue`` (its files: ``sealed``) what was acknowledged and is not yet delivered; ``sender``
delivers, and ``outcome`` says what each answer means; ``line`` the way out; ``back`` the way back, from guard to
device; ``run`` puts them together.
"""

"""Count C-FIND answers with pynetdicom, as its documentation has it."""

from __future__ import annotations

import sys

from pydicom.dataset import Dataset
from pynetdicom import AE

MODEL = "1.2.840.10008.5.1.4.1.2.2.1"


def main() -> int:
    query = Dataset()
    query.QueryRetrieveLevel = "STUDY"
    query.StudyInstanceUID = query.StudyDate = query.PatientID = ""
    query.NumberOfStudyRelatedInstances = None
    entity = AE()
    entity.add_requested_context(MODEL)
    association = entity.associate(sys.argv[1], int(sys.argv[2]))
    answers = sum(
        1 for status, _ in association.send_c_find(query, MODEL) if status and status.Status in (0xFF00, 0xFF01)
    )
    association.release()
    return 0 if answers == int(sys.argv[3]) else 1


if __name__ == "__main__":
    sys.exit(main())

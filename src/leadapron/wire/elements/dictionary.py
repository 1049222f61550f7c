"""The tags that we name, with their VRs: PS3.6 §6 (data elements), §7 (file meta), PS3.7 Annex E (group lengths).

Implicit VR says nothing of a value's type, so a reader needs a dictionary. Ours holds what we ask for, answer with or
index, and nothing else: for any other tag the VR is unknown and its value stays octets. Names are PS3.6's keywords.
"""

from __future__ import annotations

import enum
from typing import Final


class Tag(enum.IntEnum):
    """0xGGGGEEEE under the keyword of PS3.6."""

    # File meta information, PS3.10 §7.1
    FileMetaInformationGroupLength = 0x00020000
    FileMetaInformationVersion = 0x00020001
    MediaStorageSOPClassUID = 0x00020002
    MediaStorageSOPInstanceUID = 0x00020003
    TransferSyntaxUID = 0x00020010
    ImplementationClassUID = 0x00020012
    ImplementationVersionName = 0x00020013
    SourceApplicationEntityTitle = 0x00020016

    # General
    SpecificCharacterSet = 0x00080005
    ImageType = 0x00080008
    InstanceCreationDate = 0x00080012
    InstanceCreationTime = 0x00080013
    SOPClassUID = 0x00080016
    SOPInstanceUID = 0x00080018
    StudyDate = 0x00080020
    SeriesDate = 0x00080021
    AcquisitionDate = 0x00080022
    ContentDate = 0x00080023
    StudyTime = 0x00080030
    SeriesTime = 0x00080031
    AcquisitionTime = 0x00080032
    ContentTime = 0x00080033
    AccessionNumber = 0x00080050
    QueryRetrieveLevel = 0x00080052
    RetrieveAETitle = 0x00080054
    InstanceAvailability = 0x00080056
    FailedSOPInstanceUIDList = 0x00080058
    Modality = 0x00080060
    ModalitiesInStudy = 0x00080061
    SOPClassesInStudy = 0x00080062
    Manufacturer = 0x00080070
    InstitutionName = 0x00080080
    InstitutionAddress = 0x00080081
    ReferringPhysicianName = 0x00080090
    TimezoneOffsetFromUTC = 0x00080201
    StationName = 0x00081010
    StudyDescription = 0x00081030
    SeriesDescription = 0x0008103E
    InstitutionalDepartmentName = 0x00081040
    PerformingPhysicianName = 0x00081050
    NameOfPhysiciansReadingStudy = 0x00081060
    OperatorsName = 0x00081070
    ManufacturerModelName = 0x00081090
    ReferencedStudySequence = 0x00081110
    ReferencedSeriesSequence = 0x00081115
    RetrieveURL = 0x00081190
    TransactionUID = 0x00081195
    FailureReason = 0x00081197
    FailedSOPSequence = 0x00081198
    ReferencedSOPSequence = 0x00081199
    ReferencedSOPClassUID = 0x00081150
    ReferencedSOPInstanceUID = 0x00081155

    # Patient
    PatientName = 0x00100010
    PatientID = 0x00100020
    IssuerOfPatientID = 0x00100021
    PatientBirthDate = 0x00100030
    PatientBirthTime = 0x00100032
    PatientSex = 0x00100040
    OtherPatientIDs = 0x00101000
    OtherPatientNames = 0x00101001
    PatientAge = 0x00101010
    PatientSize = 0x00101020
    PatientWeight = 0x00101030
    PatientAddress = 0x00101040
    PatientTelephoneNumbers = 0x00102154
    EthnicGroup = 0x00102160
    PatientComments = 0x00104000

    # Acquisition, relationship
    BodyPartExamined = 0x00180015
    ProtocolName = 0x00181030
    StudyInstanceUID = 0x0020000D
    SeriesInstanceUID = 0x0020000E
    StudyID = 0x00200010
    SeriesNumber = 0x00200011
    AcquisitionNumber = 0x00200012
    InstanceNumber = 0x00200013
    FrameOfReferenceUID = 0x00200052
    NumberOfPatientRelatedStudies = 0x00201200
    NumberOfPatientRelatedSeries = 0x00201202
    NumberOfPatientRelatedInstances = 0x00201204
    NumberOfStudyRelatedSeries = 0x00201206
    NumberOfStudyRelatedInstances = 0x00201208
    NumberOfSeriesRelatedInstances = 0x00201209

    # Image
    SamplesPerPixel = 0x00280002
    PhotometricInterpretation = 0x00280004
    PlanarConfiguration = 0x00280006
    NumberOfFrames = 0x00280008
    Rows = 0x00280010
    Columns = 0x00280011
    BitsAllocated = 0x00280100
    BitsStored = 0x00280101
    HighBit = 0x00280102
    PixelRepresentation = 0x00280103
    WindowCenter = 0x00281050
    WindowWidth = 0x00281051

    # Requests and scheduling, PS3.4 Annex K
    RequestingPhysician = 0x00321032
    RequestedProcedureDescription = 0x00321060
    AdmissionID = 0x00380010
    CurrentPatientLocation = 0x00380300
    ScheduledStationAETitle = 0x00400001
    ScheduledProcedureStepStartDate = 0x00400002
    ScheduledProcedureStepStartTime = 0x00400003
    ScheduledPerformingPhysicianName = 0x00400006
    ScheduledProcedureStepDescription = 0x00400007
    ScheduledProcedureStepID = 0x00400009
    ScheduledStationName = 0x00400010
    ScheduledProcedureStepSequence = 0x00400100
    PerformedProcedureStepStartDate = 0x00400244
    PerformedProcedureStepStartTime = 0x00400245
    ScheduledStepAttributesSequence = 0x00400270
    RequestAttributesSequence = 0x00400275
    RequestedProcedureID = 0x00401001

    PixelData = 0x7FE00010
    DataSetTrailingPadding = 0xFFFCFFFC


_BY_VR: Final[dict[str, str]] = {
    "AE": "SourceApplicationEntityTitle RetrieveAETitle ScheduledStationAETitle",
    "AS": "PatientAge",
    "CS": "SpecificCharacterSet ImageType QueryRetrieveLevel InstanceAvailability Modality ModalitiesInStudy "
    "PatientSex BodyPartExamined PhotometricInterpretation",
    "DA": "InstanceCreationDate StudyDate SeriesDate AcquisitionDate ContentDate PatientBirthDate "
    "ScheduledProcedureStepStartDate PerformedProcedureStepStartDate",
    "DS": "PatientSize PatientWeight WindowCenter WindowWidth",
    "IS": "SeriesNumber AcquisitionNumber InstanceNumber NumberOfPatientRelatedStudies NumberOfPatientRelatedSeries "
    "NumberOfPatientRelatedInstances NumberOfStudyRelatedSeries NumberOfStudyRelatedInstances "
    "NumberOfSeriesRelatedInstances NumberOfFrames",
    "LO": "Manufacturer InstitutionName StudyDescription SeriesDescription InstitutionalDepartmentName "
    "ManufacturerModelName PatientID IssuerOfPatientID OtherPatientIDs PatientAddress ProtocolName "
    "RequestedProcedureDescription AdmissionID CurrentPatientLocation ScheduledProcedureStepDescription",
    "LT": "PatientComments",
    "OB": "FileMetaInformationVersion DataSetTrailingPadding",
    "OW": "PixelData",
    "PN": "ReferringPhysicianName PerformingPhysicianName NameOfPhysiciansReadingStudy OperatorsName PatientName "
    "OtherPatientNames RequestingPhysician ScheduledPerformingPhysicianName",
    "SH": "ImplementationVersionName AccessionNumber TimezoneOffsetFromUTC StationName PatientTelephoneNumbers "
    "EthnicGroup StudyID ScheduledProcedureStepID ScheduledStationName RequestedProcedureID",
    "SQ": "ReferencedStudySequence ReferencedSeriesSequence FailedSOPSequence ReferencedSOPSequence "
    "ScheduledProcedureStepSequence ScheduledStepAttributesSequence RequestAttributesSequence",
    "ST": "InstitutionAddress",
    "TM": "InstanceCreationTime StudyTime SeriesTime AcquisitionTime ContentTime PatientBirthTime "
    "ScheduledProcedureStepStartTime PerformedProcedureStepStartTime",
    "UI": "MediaStorageSOPClassUID MediaStorageSOPInstanceUID TransferSyntaxUID ImplementationClassUID SOPClassUID "
    "SOPInstanceUID FailedSOPInstanceUIDList SOPClassesInStudy TransactionUID ReferencedSOPClassUID "
    "ReferencedSOPInstanceUID StudyInstanceUID SeriesInstanceUID FrameOfReferenceUID",
    "UL": "FileMetaInformationGroupLength",
    "UR": "RetrieveURL",
    "US": "FailureReason SamplesPerPixel PlanarConfiguration Rows Columns BitsAllocated BitsStored HighBit "
    "PixelRepresentation",
}

VRS: Final[dict[int, str]] = {int(Tag[name]): vr for vr, names in _BY_VR.items() for name in names.split()}
"""Tag → VR for every ``Tag``."""


def vr_of(tag: int) -> str | None:
    """The VR of a tag that we know, ``UL`` for any group length (PS3.5 §7.2), else None."""
    return VRS.get(tag) or (None if tag & 0xFFFF else "UL")

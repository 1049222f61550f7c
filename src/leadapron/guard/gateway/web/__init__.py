"""The guard's web side: pages to log in, and a reverse proxy for DICOMweb, Orthanc's REST and an older viewer."""

"""Results and recordings on disk: written by xarray alone, they come back as they were."""

import warnings

import numpy as np
import xarray as xr
from zarr.errors import UnstableSpecificationWarning


def comes_back(result, folder):
    """NetCDF and Zarr give values, coordinates and attrs back, and both hold the attrs."""
    result.to_netcdf(folder / "result.nc", engine="h5netcdf")
    with warnings.catch_warnings():
        warnings.simplefilter("error", UnstableSpecificationWarning)
        result.to_zarr(folder / "result.zarr", consolidated=False)
    for back in (
        xr.load_dataset(folder / "result.nc", engine="h5netcdf"),
        xr.open_zarr(folder / "result.zarr", consolidated=False).load(),
    ):
        xr.testing.assert_identical(back, result)
    for attrs in (result.attrs, *(variable.attrs for variable in result.variables.values())):
        for value in attrs.values():
            assert type(value) in (str, int, float) or isinstance(value, np.number), attrs

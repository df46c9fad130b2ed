"""The Decathlon's heart task, from a small archive made here instead of the internet."""

import hashlib
import sys
import tarfile

import nibabel as nib
import numpy as np
import pytest

from napari_metassl.data.cache_folder import cache_folder
from napari_metassl.data.decathlon import (
    TASK,
    download_heart,
    fetch_heart,
    heart_cases,
    heart_folder,
)
from napari_metassl.data.file_lock import FileLock
from napari_metassl.errors import Cancelled, FileProblem


@pytest.fixture
def archive(tmp_path, monkeypatch):
    """Make a task of two labeled cases the one MONAI downloads, and know its checksum."""
    from monai.apps import DecathlonDataset

    made = tmp_path / "made" / TASK
    for part in ("imagesTr", "labelsTr", "imagesTs"):
        (made / part).mkdir(parents=True)
    for name in ("la_007", "la_003"):
        image = nib.Nifti1Image(np.ones((3, 4, 5), np.uint8), np.eye(4))
        nib.save(image, made / "imagesTr" / f"{name}.nii.gz")
        nib.save(image, made / "labelsTr" / f"{name}.nii.gz")
        (made / "imagesTr" / f"._{name}.nii.gz").write_bytes(b"what macOS adds")
    path = tmp_path / f"{TASK}.tar"
    with tarfile.open(path, "w") as tar:
        tar.add(made, TASK)
    monkeypatch.setitem(DecathlonDataset.resource, TASK, path.as_uri())
    monkeypatch.setitem(DecathlonDataset.md5, TASK, hashlib.md5(path.read_bytes()).hexdigest())
    return path


def test_the_task_is_downloaded_checked_and_unpacked(archive, tmp_path):
    folder = download_heart(tmp_path / "cache" / TASK)
    cases = heart_cases(folder)
    assert [image.name for image, _ in cases] == ["la_003.nii.gz", "la_007.nii.gz"]
    assert all(labels.parent.name == "labelsTr" for _, labels in cases)
    assert [path.name for path in folder.parent.iterdir()] == [TASK]  # no archive left behind
    archive.unlink()
    assert download_heart(folder) == folder  # a second time needs no internet


def test_another_archive_than_the_original_is_refused(archive, tmp_path):
    with tarfile.open(archive, "a") as tar:
        tar.add(__file__, "added.py")
    with pytest.raises(FileProblem, match="another checksum than the original"):
        download_heart(tmp_path / "cache" / TASK)
    assert not (tmp_path / "cache" / TASK).exists()


def test_an_interrupted_unpacking_is_begun_again_without_downloading(archive, tmp_path):
    aside = tmp_path / "cache" / f"{TASK}.part"
    (aside / TASK / "imagesTr").mkdir(parents=True)
    archive.rename(aside / f"{TASK}.tar")
    assert len(heart_cases(download_heart(tmp_path / "cache" / TASK))) == 2


def test_two_downloads_do_not_run_into_each_other(archive, tmp_path):
    aside = tmp_path / "cache" / f"{TASK}.part"
    aside.mkdir(parents=True)
    first = FileLock(aside / "lock", "The download")
    with pytest.raises(FileProblem, match="being downloaded already"):
        download_heart(tmp_path / "cache" / TASK)
    first.release()
    assert download_heart(tmp_path / "cache" / TASK).is_dir()


def test_a_damaged_archive_is_not_kept(archive, tmp_path):
    aside = tmp_path / "cache" / f"{TASK}.part"
    aside.mkdir(parents=True)
    (aside / f"{TASK}.tar").write_bytes(b"damaged")
    with pytest.raises(FileProblem, match="checksum"):
        download_heart(tmp_path / "cache" / TASK)
    assert download_heart(tmp_path / "cache" / TASK).is_dir()


def test_a_full_disk_is_said_before_the_download(archive, tmp_path, monkeypatch):
    monkeypatch.setattr("napari_metassl.data.decathlon.shutil.disk_usage", lambda _: FullDisk())
    with pytest.raises(FileProblem, match=r"needs 1 GB .* where 5 MB is free"):
        download_heart(tmp_path / "cache" / TASK)


class FullDisk:
    free = 5_000_000


@pytest.fixture
def offline(tmp_path, monkeypatch):
    """Send every connection to a port where nobody listens."""
    monkeypatch.setenv("NAPARI_METASSL_CACHE", str(tmp_path / "cache"))
    for name in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)


def test_without_internet_there_is_one_sentence(offline):
    with pytest.raises(FileProblem) as caught:
        fetch_heart()
    message = str(caught.value)
    assert "the server cannot be reached" in message
    assert "CC BY-SA" in message
    assert "\n" not in message
    assert not heart_folder().exists()


def test_a_download_can_be_stopped(offline, tmp_path, monkeypatch):
    fake = "import sys, time\nfor n in range(99): print(f'{n}%|', file=sys.stderr); time.sleep(.1)"
    monkeypatch.setattr("napari_metassl.data.decathlon.sys.executable", make_python(tmp_path, fake))
    seen = []
    with pytest.raises(Cancelled):
        fetch_heart(seen.append, lambda: seen[-1] > 0.02)
    assert seen == sorted(seen)
    assert 0 < max(seen) < 0.2


def make_python(folder, code):
    """Return a program that ignores its arguments and runs `code`."""
    path = folder / "python"
    path.write_text(f"#!{sys.executable}\n{code}\n")
    path.chmod(0o755)
    return str(path)


def test_what_is_there_is_not_fetched_again(offline, tmp_path):
    heart_folder().mkdir(parents=True)
    assert fetch_heart() == heart_folder()


def test_the_cache_follows_the_environment(monkeypatch, tmp_path):
    monkeypatch.setenv("NAPARI_METASSL_CACHE", str(tmp_path))
    assert cache_folder() == tmp_path
    monkeypatch.delenv("NAPARI_METASSL_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    monkeypatch.setattr("sys.platform", "linux")
    assert cache_folder() == tmp_path / "xdg" / "napari-metassl"

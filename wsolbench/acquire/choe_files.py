"""Size and digest of the split and box files of Choe et al., as they are at one commit of their repository.

The files are theirs: boxes and class labels CC-BY-2.0 NAVER Corp., OpenImages annotations CC-BY-4.0 Google LLC.
"""

from __future__ import annotations

__all__ = ["BASE", "CHOE_FILES", "NAMES_BASE", "NAMES_FILE", "NAMES_SIZE"]

BASE = "https://raw.githubusercontent.com/clovaai/wsolevaluation/96f4b88679af41f005824661f47e6fe3628af2aa"
"""Address of that commit."""

_TABLE = """\
CUB/test/class_labels.txt 326010 0e65f035658267b2c7eec0d289048bb822e4a5f9a244b034c127ea7fb1367d7d
CUB/test/image_ids.txt 305941 f654e4676187fc322ad409487faa3568bffa751438198011692e7ff01be574ca
CUB/test/image_sizes.txt 352293 96c4e79810545b237b2a79f4623a198ce6effb290fba01790b5587b464abd33b
CUB/test/localization.txt 391543 85d2bd87f1bfb1641ae42f36df070c34b4755f260267326d2a2d19e65a9acf00
CUB/train/class_labels.txt 337398 4f19c23e9fdf3cfae8027a9ea8a1cec1b4ecc6a3cb6cf0fe12723c48cde82b30
CUB/train/image_ids.txt 316722 c04cbe44e79ef2129afac49a15eb51b8f050cdef140cef4cf908cef823000b66
CUB/train/image_sizes.txt 364674 307a9ed88a011e41b16153ed9745f4cf41054fdfb834f412f104873a42a959cd
CUB/train/localization.txt 405212 672f41482883e8a23e9b1406b8e75aec7c74c18da39b024724c804dba3c480fd
CUB/val/class_labels.txt 39944 36791366bc002b82df029b8d84500d731ecc4a5dea603250f134e927d7df5748
CUB/val/image_ids.txt 36496 455f26689daf2219d42208fba21be12da219c8724eab38482210c4ac2bc57c02
CUB/val/image_sizes.txt 44555 b0d5495ba5af9f7b1e34753cc8548be5debb267a3d7803a5408a3bc4d173ef63
CUB/val/localization.txt 51919 08ff9afa478b3a7e29a15c173e11927c9cb1867b58ae8a541df69a4c0c830ab5
ILSVRC/test/class_labels.txt 1844499 a226044e3e00900291053ecb8e68640385a196c5521c793d242df9e084e898b6
ILSVRC/test/image_ids.txt 1649999 68bed6c35194a126dba32ad15f2f19596a5f1a3923ffc4ac301402d93e045583
ILSVRC/test/image_sizes.txt 2051318 dde3957c4bf3bdab41ec759386c6ebaa8bed2c1790891ec3465e3a235ed63f3e
ILSVRC/test/localization.txt 3829081 c4a9929837b61e9c2a03524f5b963945782ddc9930c4f8ea764cc10004c5ee62
ILSVRC/train/image_ids_proxy.txt - -
ILSVRC/val/class_labels.txt 197799 316209e92831b0dd910432afe74c55f2fb33ed72ade1378d3d0954df325ea51e
ILSVRC/val/image_ids.txt 158899 bcd13383b7fdaa8aa9cfd02228b398802cf64b20f6efe13aa4b0696b9431d993
ILSVRC/val/image_sizes.txt 238898 4c82c4c1e14bc7f6a1a8a1fe7ab91df2ec369318b39a8b70618d6bd041cc7410
ILSVRC/val/localization.txt 566431 4d01d6e9eab27ec860092a43f5b7480f10aadbf21234bd01ae419e9c8181ea3f
OpenImages/test/class_labels.txt 176599 38d9c771b4031770c5e366ff2c50650ec130ce24ceb4b75be96e494f89a1f959
OpenImages/test/image_ids.txt 162099 7f279c569eb501986ecd98917ba6f116524fe744f84684ad16b3a01087c00bf8
OpenImages/test/image_sizes.txt 0 e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855
OpenImages/test/localization.txt 819834 9d1f0bad885884f7e79913b00c5b984fc8d532ed80886bd5e72d37e3274aeb55
OpenImages/train/class_labels.txt 1082972 963b8b21ffdbabc145817f92183371fcdbe9adf3636edde878e45186c0ac9132
OpenImages/train/image_ids.txt 996515 12c206be5ec47a8e94dbc9cb62a5e0325507335c4daa199b88b4792e4e59d084
OpenImages/train/image_sizes.txt 0 e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855
OpenImages/train/localization.txt 0 e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855
OpenImages/val/class_labels.txt 85799 fa8500d1d6a940a4d7a2dd383cb0f3f508565a3cc71fd34a06ba1c804ec84707
OpenImages/val/image_ids.txt 78549 32f491e7f25f2a99cb26926b85df5a442df2fa990138b2b938e52674cf4b8ab7
OpenImages/val/image_sizes.txt 0 e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855
OpenImages/val/localization.txt 402938 74c9b64d462e423008cda2cb0d4c12bb55b69b2fe438d8e10e49dd61d21d01be
"""
CHOE_FILES: dict[str, tuple[int | None, str | None]] = {
    f"metadata/{path}": (None, None) if size == "-" else (int(size), digest)
    for path, size, digest in map(str.split, _TABLE.splitlines())
}
"""Bytes and sha256 by path below :data:`BASE`; None where neither is published: BASE pins the commit."""

NAMES_FILE = "mapping.txt"
"""Lines ``0/0.jpeg, 0/<digest>.jpeg``: the files of ImageNetV2 were renamed after the lists had been made."""
NAMES_BASE = "https://raw.githubusercontent.com/clovaai/wsolevaluation/e9972606b18064ea886f098f2b5b29b9ade75f09"
"""Address of the later commit that has it, in ``metadata/ILSVRC/val``."""
NAMES_SIZE = 617_800
"""Bytes of it; no digest was at hand."""

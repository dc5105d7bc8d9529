#!/usr/bin/env bash
# Where the test VM is kept. To be sourced; the caller has set `here` to the folder of this file.
# Sets vm_cache, for all images, and vm_image, for the one of these sources.
# shellcheck disable=SC2154,SC2034 # here is the caller's, and so are the results

vm_cache=$(realpath -m -- "${SPO_CACHE:-$here/../../.cache}")/vm
vm_image=$vm_cache/image-$(cat "$here"/{image,kernel-packages,cache.sh} "$here"/guest/* | sha256sum | cut -c1-12)

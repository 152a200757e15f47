#!/bin/sh
# Makes Debian packages of what `make install` installs: MAKE=make VERSION=0.1.0 sh bindings/debian/build.sh FOLDER
# One staged installation is dealt out to the packages of `control`; a file that goes to none of them is an error.
# The same binaries give the same bytes.
set -eu
umask 022
export LC_ALL=C

tree=$(pwd)
mkdir -p "$1"
cd "$1"
rm -rf ./*
cp -r "$tree/bindings/debian" debian # where dpkg's tools look

version=$(dpkg-parsechangelog -S Version)
if [ "$version" != "$VERSION" ]; then
    echo "The newest entry of bindings/debian/changelog is for $version, core/cnn.h says $VERSION." >&2
    exit 1
fi
SOURCE_DATE_EPOCH=$(dpkg-parsechangelog -S Timestamp)
export SOURCE_DATE_EPOCH
libdir=/usr/lib/$(dpkg-architecture -q DEB_HOST_MULTIARCH)

$MAKE -C "$tree" install PREFIX=/usr LIBDIR="$libdir" LUA_CDIR="$libdir/lua/5.4" DESTDIR="$(pwd)/stage" \
    STRIP="${STRIP:-strip} --remove-section=.comment --remove-section=.note" >install.log
rm stage/usr/share/doc/cnnlua/LICENSE # debian/copyright has it
mkdir stage/usr/share/doc/libcnn-dev
mv stage/usr/share/doc/cnnlua/examples stage/usr/share/doc/libcnn-dev
find stage/usr/share/man -name '*.[13]' -exec gzip -9n {} +

# deal PACKAGE PATH…: takes from the stage, where this runs, what is still there.
deal() {
    package=$1
    shift
    for path; do
        mkdir -p "../$package/${path%/*}"
        mv "$path" "../$package/$path"
    done
}

(
    cd stage
    deal libcnn0 usr/lib/*/libcnn.so.*
    deal libcnn-dev usr/include usr/lib/*/libcnn.* usr/lib/*/pkgconfig usr/share/doc/libcnn-dev
    deal lua-cnn usr/lib/*/lua
    deal cnnlua usr/bin usr/share
)
lost=$(find stage ! -type d)
if [ -n "$lost" ]; then
    echo "debian/build.sh knows no package for $lost" >&2
    exit 1
fi

mkdir libcnn0/DEBIAN
echo "libcnn 0 libcnn0 (>= $version)" >libcnn0/DEBIAN/shlibs
echo "activate-noawait ldconfig" >libcnn0/DEBIAN/triggers

for package in cnnlua lua-cnn libcnn0 libcnn-dev; do
    documents=$package/usr/share/doc/$package
    mkdir -p "$package/DEBIAN" "$documents"
    cp debian/copyright "$documents"
    gzip -9nc debian/changelog >"$documents/changelog.gz"
    substvars=debian/$package.substvars
    binaries=$(find $package -type f \( -path '*/bin/*' -o -name '*.so' -o -name '*.so.*' \) | sort)
    if [ -n "$binaries" ]; then
        dpkg-shlibdeps -T"$substvars" $binaries
    else
        : >"$substvars"
    fi
    dpkg-gencontrol -p$package -P$package -T"$substvars"
    (cd $package && find usr -type f | sort | xargs md5sum >DEBIAN/md5sums)
    dpkg-deb --root-owner-group --build $package .
done
rm -rf stage cnnlua lua-cnn libcnn0 libcnn-dev debian

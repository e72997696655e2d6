# Cross build for 64-bit ARM with Debian's compiler, against the packages in a folder of their own
# (PCS_ARM64_ROOT in the environment): scripts/arm64 makes that folder, builds and tests.
#   PCS_ARM64_ROOT=DIR cmake -B build/arm64 -DCMAKE_TOOLCHAIN_FILE=cmake/aarch64-toolchain.cmake
set(CMAKE_SYSTEM_NAME Linux)
set(CMAKE_SYSTEM_PROCESSOR aarch64)
set(CMAKE_C_COMPILER aarch64-linux-gnu-gcc)
set(CMAKE_CXX_COMPILER aarch64-linux-gnu-g++)

set(root "$ENV{PCS_ARM64_ROOT}")
if(NOT EXISTS "${root}")
  message(FATAL_ERROR "PCS_ARM64_ROOT must name the folder with arm64's packages (see scripts/arm64)")
endif()
set(CMAKE_SYSROOT "${root}")
set(CMAKE_LIBRARY_ARCHITECTURE aarch64-linux-gnu)
set(CMAKE_FIND_ROOT_PATH_MODE_PROGRAM NEVER)
set(CMAKE_FIND_ROOT_PATH_MODE_LIBRARY ONLY)
set(CMAKE_FIND_ROOT_PATH_MODE_INCLUDE ONLY)
set(CMAKE_FIND_ROOT_PATH_MODE_PACKAGE ONLY)
# The linker looks there for the libraries of libraries.
add_link_options(-Wl,-rpath-link,${root}/usr/lib/aarch64-linux-gnu -Wl,-rpath-link,${root}/lib/aarch64-linux-gnu)

set(ENV{PKG_CONFIG_SYSROOT_DIR} "${root}")
set(ENV{PKG_CONFIG_LIBDIR} "${root}/usr/lib/aarch64-linux-gnu/pkgconfig:${root}/usr/share/pkgconfig")

# Programs of the build run emulated: without -L they would be given this machine's libraries.
find_program(PCS_QEMU NAMES qemu-aarch64-static qemu-aarch64 REQUIRED)
set(CMAKE_CROSSCOMPILING_EMULATOR ${PCS_QEMU} -L ${root})

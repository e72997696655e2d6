# pcs_find_yuv(): libyuv as the target pcs_yuv. Debian's package has no pkg-config file.
include_guard(GLOBAL)

macro(pcs_find_yuv)
  if(NOT TARGET pcs_yuv)
    find_path(PCS_YUV_INCLUDE libyuv.h)
    find_library(PCS_YUV_LIBRARY yuv)
    if(NOT PCS_YUV_INCLUDE OR NOT PCS_YUV_LIBRARY)
      message(FATAL_ERROR "libyuv not found (Debian: libyuv-dev)")
    endif()
    add_library(pcs_yuv INTERFACE IMPORTED GLOBAL)
    # SYSTEM: its headers are not ours to warn about.
    target_include_directories(pcs_yuv SYSTEM INTERFACE ${PCS_YUV_INCLUDE})
    target_link_libraries(pcs_yuv INTERFACE ${PCS_YUV_LIBRARY})
  endif()
endmacro()

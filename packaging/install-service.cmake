# Run by cmake --install; see service.cmake.
set(prefix "${CMAKE_INSTALL_PREFIX}")

# What belongs to the system is configured in /etc; a private prefix keeps to itself.
if(IS_ABSOLUTE "${SYSCONF}")
  set(etc "${SYSCONF}")
elseif(prefix MATCHES "^/usr(/local)?/?$")
  set(etc "/${SYSCONF}")
else()
  set(etc "${prefix}/${SYSCONF}")
endif()
set(CONFDIR "${etc}/pi-camera-streamer")
set(BINDIR "${prefix}/${BIN}")
if(IS_ABSOLUTE "${BIN}")
  set(BINDIR "${BIN}")
endif()

file(READ "${PACKAGING}/systemd/hardening.conf" HARDENING)
configure_file("${PACKAGING}/systemd/${PROGRAM}.service.in" "${BUILD}/${PROGRAM}.service" @ONLY)
file(INSTALL "${BUILD}/${PROGRAM}.service" DESTINATION "${prefix}/lib/systemd/system"
  PERMISSIONS OWNER_READ OWNER_WRITE GROUP_READ WORLD_READ)

set(target "${CONFDIR}/${PROGRAM}.ini")
if(EXISTS "$ENV{DESTDIR}${target}")
  message(STATUS "Keeping: $ENV{DESTDIR}${target}")
else()
  file(INSTALL "${CONFIG}" DESTINATION "${CONFDIR}" RENAME "${PROGRAM}.ini"
    PERMISSIONS OWNER_READ OWNER_WRITE GROUP_READ WORLD_READ)
endif()

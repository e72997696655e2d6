# pcs_embed(TARGET FOLDER): the files below FOLDER become a table in C, `page_files` of page.h, in TARGET.
#
# Run with -P (by the build itself, whenever a file has changed) it writes that table: -DFOLDER -DFILES -DOUT.
if(NOT CMAKE_SCRIPT_MODE_FILE)
  include_guard(GLOBAL)
  set(PCS_EMBED_SCRIPT ${CMAKE_CURRENT_LIST_FILE})
  function(pcs_embed target folder)
    file(GLOB_RECURSE files CONFIGURE_DEPENDS RELATIVE ${folder} ${folder}/*)
    list(TRANSFORM files PREPEND ${folder}/ OUTPUT_VARIABLE paths)
    set(out ${CMAKE_CURRENT_BINARY_DIR}/page_files.c)
    add_custom_command(OUTPUT ${out}
      COMMAND ${CMAKE_COMMAND} -DFOLDER=${folder} "-DFILES=${files}" -DOUT=${out} -P ${PCS_EMBED_SCRIPT}
      DEPENDS ${paths} ${PCS_EMBED_SCRIPT} VERBATIM COMMENT "Embedding ${folder}")
    target_sources(${target} PRIVATE ${out})
    target_include_directories(${target} PRIVATE ${CMAKE_CURRENT_SOURCE_DIR})
  endfunction()
  return()
endif()

cmake_minimum_required(VERSION 3.25)

function(media_type name out)
  set(html "text/html; charset=utf-8")
  set(css "text/css; charset=utf-8")
  set(js "text/javascript; charset=utf-8")
  set(svg "image/svg+xml")
  set(txt "text/plain; charset=utf-8")
  string(REGEX MATCH "[a-z]+$" extension ${name})
  if(NOT ${extension})
    message(FATAL_ERROR "${name}: no media type is known for this; add one here")
  endif()
  set(${out} "${${extension}}" PARENT_SCOPE)
endfunction()

# Bytes of `path` as a list of C numbers, from the byte `begin` on.
function(numbers path begin out)
  file(READ ${path} hex OFFSET ${begin} HEX)
  string(REGEX REPLACE "(..)" "0x\\1," hex "${hex}")
  string(REGEX REPLACE "(................................................................................)" "\\1\n" hex
    "${hex}")
  set(${out} "${hex}" PARENT_SCOPE)
endfunction()

# The gzip file that CMake writes holds the time of writing, so its head is replaced by one without:
# the same sources have to give the same program.
function(gzip path out)
  file(ARCHIVE_CREATE OUTPUT ${OUT}.gz PATHS ${path} FORMAT raw COMPRESSION GZip COMPRESSION_LEVEL 9)
  file(READ ${OUT}.gz head LIMIT 10 HEX)
  if(NOT head MATCHES "^1f8b0800")
    message(FATAL_ERROR "${path}: a gzip head of an unexpected kind: ${head}")
  endif()
  numbers(${OUT}.gz 10 rest)
  file(REMOVE ${OUT}.gz)
  set(${out} "0x1f,0x8b,0x08,0,0,0,0,0,0x02,0xff,\n${rest}" PARENT_SCOPE)
endfunction()

set(data "")
set(table "")
set(n 0)
foreach(name IN LISTS FILES)
  set(path ${FOLDER}/${name})
  media_type(${name} type)
  numbers(${path} 0 plain)
  gzip(${path} packed)
  file(SHA256 ${path} digest)
  string(SUBSTRING ${digest} 0 16 digest)
  string(APPEND data "static const unsigned char plain_${n}[] = {\n${plain}\n};\n"
    "static const unsigned char packed_${n}[] = {\n${packed}\n};\n")
  string(APPEND table "    { \"${name}\", { .type = \"${type}\", .data = plain_${n}, .size = sizeof plain_${n},\n"
    "        .gzip = packed_${n}, .gzip_size = sizeof packed_${n}, .etag = \"W/\\\"${digest}\\\"\" } },\n")
  math(EXPR n "${n} + 1")
endforeach()
file(WRITE ${OUT} "/* Made by cmake/PcsEmbed.cmake. */\n#include \"page.h\"\n\n${data}\n"
  "const struct page_file page_files[] = {\n${table}    { .name = 0 },\n};\n")

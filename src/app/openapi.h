/* SPDX-License-Identifier: MIT */
/* openapi.json, as it is in the source tree. Threads: the web thread. */
#pragma once

struct web_request;

void openapi_reply(struct web_request *r);

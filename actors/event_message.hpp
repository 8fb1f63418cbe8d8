// chute::engine_event as a CAF message: for actors of the host that listen to an engine. They live in the same process
// as the engine; events have no form on the wire.
#pragma once

#include "core/event.hpp"

#include <caf/allowed_unsafe_message_type.hpp>

CAF_ALLOW_UNSAFE_MESSAGE_TYPE(chute::engine_event)

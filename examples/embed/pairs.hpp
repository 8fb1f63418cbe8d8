// A format of the host's own: records like "id=7;text=seven".
#pragma once

#include <chute/actors/extensions.hpp>

chute::decoder_kind pairs_decoder();

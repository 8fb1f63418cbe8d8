#include "actors/inspect.hpp"

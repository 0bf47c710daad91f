/*-
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * The example family's numbers, for the kernel and for programs.
 */
#ifndef WEATHER_H
#define WEATHER_H

#define WEATHER_FAMILY "weather"
#define WEATHER_GROUP "changes"

enum {
	WEATHER_CMD_UNSPEC,
	WEATHER_CMD_GET,
	WEATHER_CMD_SET,
	WEATHER_CMD_FORGET,
};

enum {
	WEATHER_ATTR_UNSPEC,
	WEATHER_ATTR_CITY,	/* string */
	WEATHER_ATTR_DEGREES,	/* s32, -90 to 60 */
	WEATHER_ATTR_WIND,	/* nest of WEATHER_WIND_* */
	WEATHER_ATTR_FLAGS,	/* u32, two bits */
	WEATHER_ATTR_SEEN,	/* u64: how often it was asked for */
	__WEATHER_ATTR_MAX
};
#define WEATHER_ATTR_MAX (__WEATHER_ATTR_MAX - 1)

enum {
	WEATHER_WIND_UNSPEC,
	WEATHER_WIND_KNOTS,	/* u16, up to 200 */
	WEATHER_WIND_FROM,	/* be16: degrees of the compass */
	__WEATHER_WIND_MAX
};
#define WEATHER_WIND_MAX (__WEATHER_WIND_MAX - 1)

#endif

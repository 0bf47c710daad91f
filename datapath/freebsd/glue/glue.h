/*-
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * What the C files of openvswitch.ko know of each other.
 */
#ifndef OVS_GLUE_INTERNAL_H
#define OVS_GLUE_INTERNAL_H

void	ovs_pages_free(void);
void	ovs_events_start(void);
void	ovs_events_stop(void);

#endif

/*-
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * Kinds of FTP's data connections.
 */
#ifndef PFNL_COMPAT_LINUX_NETFILTER_NF_CONNTRACK_FTP_H
#define PFNL_COMPAT_LINUX_NETFILTER_NF_CONNTRACK_FTP_H

enum nf_ct_ftp_type {
	NF_CT_FTP_PORT,
	NF_CT_FTP_PASV,
	NF_CT_FTP_EPRT,
	NF_CT_FTP_EPSV
};

#endif
